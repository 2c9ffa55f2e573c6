package org.pocketfleet.app;

import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongConsumer;
import java.util.function.LongSupplier;
import org.pocketfleet.client.ClientListener;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;

/** Ends a run after so many training rounds or at a time, between two tasks, and counts rounds. */
final class Limits implements ClientListener {
  private final long maxRounds;
  private final long endAtMs;
  private final LongSupplier clockMs;
  private final LongConsumer counted;
  private final Runnable stop;
  private boolean trained;
  private final AtomicLong rounds = new AtomicLong();

  /**
   * Sets limits.
   *
   * @param maxRounds training rounds whose answer the server has; 0: no limit
   * @param endAtMs milliseconds since the epoch; 0: no limit
   * @param clockMs the time now
   * @param counted told how many rounds there were, after each
   * @param stop called when a limit is reached
   */
  Limits(long maxRounds, long endAtMs, LongSupplier clockMs, LongConsumer counted, Runnable stop) {
    this.maxRounds = maxRounds;
    this.endAtMs = endAtMs;
    this.clockMs = clockMs;
    this.counted = counted;
    this.stop = stop;
  }

  /** Training rounds whose answer the server has. */
  long rounds() {
    return rounds.get();
  }

  @Override
  public void connected() {}

  @Override
  public void waiting(double waitSeconds) {
    check();
  }

  @Override
  public void working(Task task) {}

  @Override
  public void finished(Task task, Reply reply, String problem) {
    trained = reply != null && task.kind().equals(Records.TRAIN);
  }

  @Override
  public void sent() {
    if (trained) {
      trained = false;
      counted.accept(rounds.incrementAndGet());
    }
    check();
  }

  @Override
  public void trouble(String words) {
    check();
  }

  /** Whether so many rounds, or this time, are at a limit; a limit of 0 is none. */
  static boolean reached(long maxRounds, long endAtMs, long rounds, long nowMs) {
    return (maxRounds > 0 && rounds >= maxRounds) || (endAtMs > 0 && nowMs >= endAtMs);
  }

  private void check() {
    if (reached(maxRounds, endAtMs, rounds.get(), clockMs.getAsLong())) {
      stop.run();
    }
  }
}
