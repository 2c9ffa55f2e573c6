package org.pocketfleet.transport;

import java.util.concurrent.ThreadLocalRandom;
import java.util.function.DoubleSupplier;

/**
 * How long to wait before trying again, and for how long to go on: waits that double up to a cap,
 * spread by jitter so that a fleet does not come back in step.
 */
final class Backoff {
  /** Answer of {@link #failure} when it is time to give up. */
  static final double GIVE_UP = -1;

  private static final double FIRST_S = 0.2;
  private static final double CAP_S = 5;

  /** Sixteen doublings are far beyond the cap; a bound keeps the power from overflowing. */
  private static final int MOST_DOUBLINGS = 16;

  private final double giveUpAfterS;
  private final DoubleSupplier clock;
  private int failures;
  private double since;

  /**
   * Makes one.
   *
   * @param giveUpAfterS seconds from the first failure after which there is no next wait; 0: never
   * @param clock seconds from any moment on
   */
  Backoff(double giveUpAfterS, DoubleSupplier clock) {
    this.giveUpAfterS = giveUpAfterS;
    this.clock = clock;
  }

  /** How often in a row it went wrong. */
  int failures() {
    return failures;
  }

  /** Seconds since the first failure. */
  double elapsedS() {
    return failures == 0 ? 0 : clock.getAsDouble() - since;
  }

  /** Counts a failure; the seconds to wait, or {@link #GIVE_UP}. */
  double failure() {
    if (failures == 0) {
      since = clock.getAsDouble();
    }
    failures++;
    double waitS = Math.min(FIRST_S * Math.pow(2, Math.min(failures - 1, MOST_DOUBLINGS)), CAP_S);
    waitS *= ThreadLocalRandom.current().nextDouble(0.5, 1);
    if (giveUpAfterS == 0) {
      return waitS;
    }
    double leftS = giveUpAfterS - elapsedS();
    return leftS > 0 ? Math.min(waitS, leftS) : GIVE_UP;
  }
}
