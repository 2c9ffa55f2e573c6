package org.pocketfleet.client;

import java.util.concurrent.ThreadLocalRandom;
import java.util.function.DoubleSupplier;

/**
 * How often to ask the server for work when there is none: waits that are a tenth of the time since
 * something last happened, between two limits.
 *
 * <p>Whatever a client waits for then comes at most a tenth later than it could have, whether the
 * round takes half a second or a minute, and a fleet that waits for hours asks rarely. Spread by a
 * fifth, so that clients do not ask in step.
 */
final class AdaptivePoll {
  private static final double SHARE = 0.1;
  private static final double SPREAD = 0.2;

  private final double shortestS;
  private final double longestS;
  private final DoubleSupplier clock;
  private double activeAt;

  /**
   * Makes one.
   *
   * @param shortestS shortest wait in seconds
   * @param longestS longest wait in seconds
   * @param clock seconds from any moment on
   */
  AdaptivePoll(double shortestS, double longestS, DoubleSupplier clock) {
    this.shortestS = shortestS;
    this.longestS = longestS;
    this.clock = clock;
    this.activeAt = clock.getAsDouble();
  }

  /** Something happened: ask often again. */
  void active() {
    activeAt = clock.getAsDouble();
  }

  /** How long to wait before asking again. */
  double waitS() {
    double idleS = clock.getAsDouble() - activeAt;
    double waitS = Math.min(Math.max(SHARE * idleS, shortestS), longestS);
    return waitS * ThreadLocalRandom.current().nextDouble(1 - SPREAD, 1 + SPREAD);
  }
}
