package org.pocketfleet.energy;

/** What a battery's gauge said at one moment, untouched. */
public final class BatterySample {
  /** What Android answers for a figure that the device does not have. */
  public static final long ABSENT = Integer.MIN_VALUE;

  /** No phone's battery gives less or more; other figures are in another unit, or none. */
  private static final int LEAST_MV = 2_000;

  private static final int MOST_MV = 30_000;

  private final long timeNs;
  private final long current;
  private final int voltageMv;
  private final long chargeCounter;
  private final boolean charging;

  /**
   * Makes a sample.
   *
   * @param timeNs of a clock that only goes forward, sleep included
   * @param current as the gauge gives it, in an unknown unit (µA or mA) and with an unknown sign;
   *     {@link #ABSENT}: none
   * @param voltageMv of the battery in millivolts; 0: not known
   * @param chargeCounter charge left in µAh by the documentation; {@link #ABSENT}: not known
   * @param charging whether power came from outside
   */
  public BatterySample(
      long timeNs, long current, int voltageMv, long chargeCounter, boolean charging) {
    this.timeNs = timeNs;
    this.current = current;
    this.voltageMv = voltageMv;
    this.chargeCounter = chargeCounter;
    this.charging = charging;
  }

  /** When, in nanoseconds. */
  public long timeNs() {
    return timeNs;
  }

  /** Current as the gauge gave it. */
  public long current() {
    return current;
  }

  /** Millivolts; 0: not known. */
  public int voltageMv() {
    return voltageMv;
  }

  /** Charge left in µAh; {@link #ABSENT}: not known. */
  public long chargeCounter() {
    return chargeCounter;
  }

  /** Whether power came from outside. */
  public boolean charging() {
    return charging;
  }

  /** Whether the charge counter is a figure. */
  public boolean hasCounter() {
    return chargeCounter != ABSENT && chargeCounter != Long.MIN_VALUE;
  }

  /** Whether current and voltage are figures at all. */
  public boolean usable() {
    // Some gauges say 0 or the smallest int for "cannot tell"; some give the smallest long.
    return current != ABSENT
        && current != Long.MIN_VALUE
        && current != 0
        && voltageMv >= LEAST_MV
        && voltageMv <= MOST_MV;
  }
}
