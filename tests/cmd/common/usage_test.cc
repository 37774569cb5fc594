// cmd/common/usage: which word somebody meant who has mistyped it.
#include "cmd/common/usage.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pakv {
namespace {

const std::vector<std::string>& Words() {
  static const std::vector<std::string> words = {"set",  "get",     "rm",         "ttl",
                                                 "scan", "compact", "--segments", "namespace"};
  return words;
}

std::string Closest(std::string_view word) { return ClosestWord(word, Words()).value_or(""); }

TEST(ClosestWordTest, ALetterOrTwoAmissIsForgiven) {
  EXPECT_EQ(Closest("sett"), "set");
  EXPECT_EQ(Closest("ste"), "set") << "two letters that changed places are one mistake";
  EXPECT_EQ(Closest("gt"), "get");
  EXPECT_EQ(Closest("scam"), "scan");
  EXPECT_EQ(Closest("comapct"), "compact");
  EXPECT_EQ(Closest("cmpct"), "") << "two letters of five are another word";
  EXPECT_EQ(Closest("compakt!"), "compact");
  EXPECT_EQ(Closest("--sgments"), "--segments");
}

TEST(ClosestWordTest, ABeginningIsEnough) {
  EXPECT_EQ(Closest("comp"), "compact");
  EXPECT_EQ(Closest("na"), "namespace");
  EXPECT_EQ(Closest("--seg"), "--segments");
}

TEST(ClosestWordTest, WhatIsFarFromAllIsNone) {
  for (const char* word : {"", "-", "--", "x", "del", "top", "delete", "frobnicate"}) {
    EXPECT_EQ(Closest(word), "") << word;
  }
  EXPECT_EQ(Closest(std::string(100'000, 's')), "");
  EXPECT_EQ(ClosestWord("set", {}), std::nullopt);
}

TEST(ClosestWordTest, TheNearestIsTakenAndOfSeveralTheFirst) {
  EXPECT_EQ(Closest("get"), "get");
  EXPECT_EQ(Closest("tet"), "set");
}

}  // namespace
}  // namespace pakv
