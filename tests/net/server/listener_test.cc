// Listening on hosts of several addresses, in a simulated world that has such.
#include "net/server/listener.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "net/options/endpoint.h"
#include "tests/sim/world/sim_node.h"
#include "tests/sim/world/sim_world.h"

namespace pakv {
namespace {

using Addresses = std::vector<std::string>;

class ListenerTest : public testing::Test {
 protected:
  ListenerTest() : world_(1), node_(world_, "10.0.0.1") {
    node_.Start({.core_count = 1});
    world_.net().SetName("both", {"10.0.0.1", "10.0.0.2"});
  }
  ~ListenerTest() override {
    for (auto& listener : listeners_) EXPECT_TRUE(node_.Run(listener->Stop())) << world_.failure();
    listeners_.clear();
    node_.Stop();
  }

  // On a listener of its own, which is the last one then.
  absl::Status Listen(const std::string& address) {
    listeners_.push_back(std::make_unique<Listener>(node_.core(0), ListenerOptions()));
    const auto status = node_.Run(listeners_.back()->Listen(*ParseEndpoint(address)));
    EXPECT_TRUE(status.has_value()) << world_.failure();
    return status.value_or(absl::InternalError("it hangs"));
  }
  const Addresses& addresses() const { return listeners_.back()->addresses(); }

  SimWorld world_;
  SimNode node_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

TEST_F(ListenerTest, AHostIsListenedOnWithAllItsAddressesAndOnePort) {
  ASSERT_TRUE(Listen("both:7379").ok());
  EXPECT_EQ(addresses(), (Addresses{"10.0.0.1:7379", "10.0.0.2:7379"}));
  ASSERT_TRUE(Listen("both:0").ok());
  ASSERT_EQ(addresses().size(), 2u);
  EXPECT_EQ(addresses()[0].substr(8), addresses()[1].substr(8));
}

TEST_F(ListenerTest, AddressesThatAreNotHereAreLeftOutButOneHasToBe) {
  world_.net().SetAbsent("10.0.0.1");
  ASSERT_TRUE(Listen("both:7379").ok());
  EXPECT_EQ(addresses(), (Addresses{"10.0.0.2:7379"}));
  world_.net().SetAbsent("10.0.0.2");
  EXPECT_EQ(Listen("both:7380").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(addresses(), Addresses());
}

TEST_F(ListenerTest, IfOneAddressIsTakenNoneStaysOpen) {
  ASSERT_TRUE(Listen("10.0.0.2:7379").ok());
  const absl::Status status = Listen("both:7379");
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(status.ToString().find("both:7379"), std::string::npos) << status;
  EXPECT_EQ(addresses(), Addresses());
  EXPECT_TRUE(Listen("10.0.0.1:7379").ok());
}

TEST_F(ListenerTest, WhatCannotBeHadIsToldWithAWayOut) {
  const auto told = [this](const std::string& address) { return Listen(address).ToString(); };
  const auto holds = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  ASSERT_TRUE(Listen("10.0.0.1:7379").ok());
  const std::string taken = told("10.0.0.1:7379");
  EXPECT_TRUE(holds(taken, "`ss -tlnp sport = :7379`")) << taken;
  EXPECT_TRUE(holds(taken, "another --addr (port 0 picks a free one)")) << taken;
  // A name that leads nowhere is another thing than an address of another machine.
  const std::string unknown = "no address is found for that name";
  world_.net().SetName("nobody", {});
  EXPECT_TRUE(holds(told("nobody:7379"), unknown)) << told("nobody:7379");
  world_.net().SetAbsent("10.0.0.9");
  const std::string foreign = told("10.0.0.9:7379");
  EXPECT_TRUE(holds(foreign, "none of this machine's interfaces has that address")) << foreign;
  EXPECT_FALSE(holds(foreign, unknown)) << foreign;
}

TEST_F(ListenerTest, APickedPortIsFreeOnAllAddresses) {
  ASSERT_TRUE(Listen("10.0.0.1:0").ok());
  const int picked = std::stoi(addresses()[0].substr(9));
  ASSERT_TRUE(Listen("10.0.0.2:" + std::to_string(picked + 1)).ok());
  ASSERT_TRUE(Listen("both:0").ok());
  const std::string next = std::to_string(picked + 2);
  EXPECT_EQ(addresses(), (Addresses{"10.0.0.1:" + next, "10.0.0.2:" + next}));
}

}  // namespace
}  // namespace pakv
