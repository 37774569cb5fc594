#include "net/client/value_reader.h"

#include <utility>

namespace pakv {

ValueReader::~ValueReader() {
  if (id_ != 0) client_.Discard(id_);
}

Task<ClientResult<bool>> ValueReader::Open(std::string_view key) {
  id_ = client_.StartGetParts(key);
  ClientResult<ClientReply> reply = co_await client_.connection_->AwaitPart(id_);
  if (!reply.ok() || reply->status != PakvStatus::kPart) id_ = 0;
  if (!reply.ok()) co_return reply.error();
  if (PakvCategoryOf(reply->status) == PakvCategory::kMissing) co_return false;
  if (PakvCategoryOf(reply->status) != PakvCategory::kDone) co_return Client::RefusedError(*reply);
  lsn_ = reply->lsn;
  ttl_ms_ = reply->ttl_ms;
  expires_at_ms_ = reply->expires_at_ms;
  total_bytes_ = reply->total_bytes;
  if (reply->value) {
    first_ = std::move(reply->value);
    if (id_ == 0) total_bytes_ = first_->size();
  }
  co_return true;
}

Task<ClientResult<std::string>> ValueReader::Next() {
  if (first_) {
    std::string first = std::move(*first_);
    first_.reset();
    if (!first.empty()) co_return first;
  }
  if (id_ == 0) co_return std::string();
  ClientResult<ClientReply> reply = co_await client_.connection_->AwaitPart(id_);
  if (!reply.ok() || reply->status != PakvStatus::kPart) id_ = 0;
  if (!reply.ok()) co_return reply.error();
  if (PakvCategoryOf(reply->status) != PakvCategory::kDone) co_return Client::RefusedError(*reply);
  co_return std::move(reply->value).value_or(std::string());
}

}  // namespace pakv
