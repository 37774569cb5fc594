// paced_load: an open-loop load generator over RESP.
//
// With --rate, requests are planned on an even schedule before anything is sent, in batches of
// --pipeline that go round the connections, and sent when they are due whether or not earlier ones
// have been answered. Latency counts from the planned time, so a server that stalls is charged for
// every request that it kept waiting (no coordinated omission). Without, each connection sends its
// next batch when the last one has been answered: the peak load.
//
// Every reply is checked: SET is answered by OK, GET by a value of the right length or by none.
// One thread; the caller chooses its CPU (taskset).
//
// Exit codes: 0 every reply was right, 1 some were not, 2 usage, 3 cannot connect, 4 no io_uring.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "perf/load/load_connection.h"
#include "runtime/base/clock.h"
#include "runtime/core/core.h"
#include "runtime/io/uring_ring.h"

namespace pakv {
namespace {

// Replies that have not come this long after the last request are errors.
constexpr uint64_t kDrainNs = 10 * kNsPerSecond;
// A connection with so many batches unanswered gets no further ones until some are answered; what
// waits here keeps its planned time.
constexpr uint64_t kBatchesUnansweredMax = 64;

struct Options {
  std::string address = "127.0.0.1:7379";
  uint32_t connections = 50;
  uint32_t pipeline = 1;
  double rate = 0;
  double seconds = 5;
  std::string mix = "set";
  std::string draw = "even";
  uint64_t seed = 1;
  bool json = false;
  LoadPlan plan;
};

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

class Run final : public LoadConnection::Listener {
 public:
  Run(Core& core, const Options& options)
      : core_(core),
        options_(options),
        finished_(core.ready()),
        pacer_(*this),
        end_(*this),
        waiting_(options.connections) {
    for (uint32_t i = 0; i < options.connections; ++i) {
      connections_.push_back(std::make_unique<LoadConnection>(
          core, options.plan, options.seed * 1'000'003 + i, result_, *this));
    }
  }

  // 0, or the exit code after an error that has been printed.
  Task<int> Measure() {
    for (auto& connection : connections_) {
      const IoResult connected = co_await connection->Connect(options_.address);
      if (!connected.ok()) {
        std::fprintf(stderr, "paced_load: cannot connect to %s: %s\n", options_.address.c_str(),
                     connected.text().c_str());
        co_await StopAll();
        co_return 3;
      }
    }
    // Starts in a pass of its own: now_ns() is then the time of the first batch.
    static_cast<void>(co_await core_.timers().SleepUntil(core_.now_ns() + kNsPerMs));
    cpu_seconds_begin_ = CpuSeconds();
    begin_ns_ = core_.now_ns();
    end_ns_ = begin_ns_ + static_cast<uint64_t>(options_.seconds * 1e9);
    end_.Arm(core_.timers(), end_ns_);
    if (options_.rate > 0) {
      ComposeDue();
    } else {
      for (auto& connection : connections_) ComposeBatch(*connection, begin_ns_);
    }
    co_await finished_.Wait();
    cpu_seconds_ = CpuSeconds() - cpu_seconds_begin_;
    pacer_.Disarm();
    end_.Disarm();
    co_await StopAll();
    co_return 0;
  }

  const LoadResult& result() const { return result_; }
  uint64_t planned() const { return planned_; }
  double cpu_seconds() const { return cpu_seconds_; }
  // From the first planned time to the last reply.
  double elapsed_seconds() const {
    return static_cast<double>(std::max(result_.last_reply_ns, begin_ns_ + 1) - begin_ns_) / 1e9;
  }

 private:
  struct Pacer : Timer {
    explicit Pacer(Run& run_in)
        : Timer([](Timer& self) { static_cast<Pacer&>(self).run.ComposeDue(); }), run(run_in) {}
    Run& run;
  };
  struct End : Timer {
    explicit End(Run& run_in)
        : Timer([](Timer& self) { static_cast<End&>(self).run.OnEnd(); }), run(run_in) {}
    Run& run;
  };

  uint64_t PlannedNs(uint64_t batch) const {
    return begin_ns_ + static_cast<uint64_t>(static_cast<double>(batch * options_.pipeline) /
                                             options_.rate * 1e9);
  }

  void ComposeDue() {
    uint64_t planned_ns = PlannedNs(next_batch_);
    for (; planned_ns <= core_.now_ns() && planned_ns < end_ns_;
         planned_ns = PlannedNs(++next_batch_)) {
      const size_t index = next_batch_ % connections_.size();
      if (waiting_[index].empty() && HasRoom(*connections_[index])) {
        ComposeBatch(*connections_[index], planned_ns);
      } else {
        waiting_[index].push_back(planned_ns);
        planned_ += options_.pipeline;
        ++waiting_batches_;
      }
    }
    if (planned_ns < end_ns_) pacer_.Arm(core_.timers(), planned_ns);
  }

  bool HasRoom(const LoadConnection& connection) const {
    return connection.unanswered() < kBatchesUnansweredMax * options_.pipeline;
  }

  void ComposeBatch(LoadConnection& connection, uint64_t planned_ns) {
    planned_ += options_.pipeline;
    connection.Compose(planned_ns, options_.pipeline);
  }

  void OnReplies(LoadConnection& connection) override {
    if (options_.rate == 0) {
      const bool goes_on = !ended_ && !connection.broken();
      if (goes_on && connection.unanswered() == 0) ComposeBatch(connection, core_.now_ns());
    } else if (waiting_batches_ > 0) {
      ComposeWaiting();
    }
    FinishIfDone();
  }

  // What found no room, connection by connection.
  void ComposeWaiting() {
    for (size_t index = 0; index < waiting_.size(); ++index) {
      std::deque<uint64_t>& batches = waiting_[index];
      while (!batches.empty() && HasRoom(*connections_[index])) {
        connections_[index]->Compose(batches.front(), options_.pipeline);
        batches.pop_front();
        --waiting_batches_;
      }
    }
  }

  void OnEnd() {
    if (ended_) {
      // The time to drain is over, too.
      for (std::deque<uint64_t>& batches : waiting_) {
        result_.AddErrors(batches.size() * options_.pipeline, "requests could not be sent in time");
        batches.clear();
      }
      waiting_batches_ = 0;
      finished_.Set();
      return;
    }
    if (options_.rate > 0) ComposeDue();
    ended_ = true;
    end_.Arm(core_.timers(), end_ns_ + kDrainNs);
    FinishIfDone();
  }

  void FinishIfDone() {
    if (waiting_batches_ > 0) return;
    bool all_broken = true;
    for (auto& connection : connections_) {
      if (ended_ && connection->unanswered() > 0) return;
      all_broken = all_broken && connection->broken();
    }
    if (ended_ || all_broken) finished_.Set();
  }

  Task<void> StopAll() {
    for (auto& connection : connections_) co_await connection->Stop();
  }

  Core& core_;
  const Options& options_;
  LoadResult result_;
  Event finished_;
  Pacer pacer_;
  End end_;
  std::vector<std::unique_ptr<LoadConnection>> connections_;
  std::vector<std::deque<uint64_t>> waiting_;  // planned times, per connection
  uint64_t waiting_batches_ = 0;

  uint64_t begin_ns_ = 0;
  uint64_t end_ns_ = 0;
  uint64_t next_batch_ = 0;
  uint64_t planned_ = 0;  // requests
  bool ended_ = false;
  double cpu_seconds_begin_ = 0;
  double cpu_seconds_ = 0;
};

Task<void> MeasureAndLeave(Core& core, Run& run, int& exit_code) {
  exit_code = co_await run.Measure();
  core.Leave();
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted +=
        static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e ? '?' : c;
  }
  return quoted + '"';
}

void Print(const Options& options, const Run& run) {
  const LoadResult& result = run.result();
  const auto us = [](uint64_t ns) { return static_cast<double>(ns) / 1e3; };
  const auto latency = [&](double percent) { return us(result.latency_ns.Percentile(percent)); };
  const double per_second = static_cast<double>(result.answered()) / run.elapsed_seconds();
  const double cpu_share = run.cpu_seconds() / run.elapsed_seconds();
  if (options.json) {
    std::printf(
        "{\"requests_per_second\": %.1f, \"planned\": %lu, \"answered\": %lu, \"sets\": %lu, "
        "\"hits\": %lu, \"misses\": %lu, \"errors\": %lu, \"first_error\": %s, "
        "\"elapsed_seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, "
        "\"max_us\": %.1f, \"set_p90_us\": %.1f, \"get_p90_us\": %.1f, "
        "\"late_p99_us\": %.1f, \"generator_cpu_share\": %.3f}\n",
        per_second, run.planned(), result.answered(), result.sets, result.hits, result.misses,
        result.errors, Quoted(result.first_error).c_str(), run.elapsed_seconds(), latency(50),
        latency(99), latency(99.9), us(result.latency_ns.max()),
        us(result.set_latency_ns.Percentile(90)), us(result.get_latency_ns.Percentile(90)),
        us(result.lateness_ns.Percentile(99)), cpu_share);
    return;
  }
  std::printf(
      "%.0f requests/s (%lu answered in %.2f s: %lu SET, %lu GET hits, %lu misses)\n"
      "latency p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us\n"
      "composed behind schedule: p99 %.1f us; the generator used %.0f %% of a CPU\n"
      "errors: %lu%s%s\n",
      per_second, result.answered(), run.elapsed_seconds(), result.sets, result.hits, result.misses,
      latency(50), latency(99), latency(99.9), us(result.latency_ns.max()),
      us(result.lateness_ns.Percentile(99)), cpu_share * 100, result.errors,
      result.errors > 0 ? ", the first: " : "", result.first_error.c_str());
}

// "set", "get", or a ratio of both such as "1:9".
bool ParseMix(const std::string& text, LoadPlan& plan) {
  unsigned sets = text == "set" ? 1 : 0;
  unsigned gets = text == "get" ? 1 : 0;
  int used = 0;
  if (sets + gets == 0 && (std::sscanf(text.c_str(), "%5u:%5u%n", &sets, &gets, &used) != 2 ||
                           used != static_cast<int>(text.size()))) {
    return false;
  }
  plan.sets = sets;
  plan.gets = gets;
  return sets + gets > 0;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("An open-loop load generator over RESP", "paced_load");
  app.add_option("--addr", options.address, "HOST:PORT or unix:PATH");
  app.add_option("--connections", options.connections, "how many")->check(CLI::Range(1u, 10'000u));
  app.add_option("--pipeline", options.pipeline, "requests that are sent together on a connection")
      ->check(CLI::Range(1u, 10'000u));
  app.add_option("--rate", options.rate, "requests/s in all; 0: as fast as they are answered")
      ->check(CLI::Range(0.0, 1e8));
  app.add_option("--seconds", options.seconds, "how long requests are sent")
      ->check(CLI::Range(0.001, 86'400.0));
  app.add_option("--keys", options.plan.keys, "keys to draw from")
      ->check(CLI::Range(uint64_t{1}, uint64_t{999'999'999'999}));
  app.add_option("--value-bytes", options.plan.value_bytes, "length of each value")
      ->check(CLI::Range(0u, 1u << 29));
  app.add_option("--mix", options.mix, "set, get, or SETS:GETS such as 1:9");
  app.add_option("--draw", options.draw, "even: all keys alike; zipf: few of them far more often")
      ->check(CLI::IsMember({"even", "zipf"}));
  app.add_option("--seed", options.seed, "of the keys and the mix");
  app.add_flag("--json", options.json, "one object on stdout");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (!ParseMix(options.mix, options.plan)) {
    std::fprintf(stderr, "paced_load: --mix %s: set, get, or SETS:GETS\n", options.mix.c_str());
    return 2;
  }

  if (options.draw == "zipf") options.plan.draw = KeyDraw::Kind::kZipf;

  std::string error;
  std::unique_ptr<Ring> ring = UringRing::Create({}, error);
  if (ring == nullptr) {
    std::fprintf(stderr, "paced_load: %s\n", error.c_str());
    return 4;
  }
  Core core(0, 1, SystemClock(), std::move(ring), {});
  int exit_code = 0;
  Run run(core, options);
  core.nursery().Spawn(MeasureAndLeave(core, run, exit_code));
  core.Run();
  if (exit_code != 0) return exit_code;
  Print(options, run);
  return run.result().errors == 0 ? 0 : 1;
}

}  // namespace
}  // namespace pakv

int main(int argc, char** argv) { return pakv::Main(argc, argv); }
