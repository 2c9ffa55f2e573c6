package org.pocketfleet.energy;

/** How full and how warm a device's battery is at one moment. */
public final class BatteryState {
  /** Of a device without a battery, or one that does not tell. */
  public static final BatteryState UNKNOWN = new BatteryState(Double.NaN, Double.NaN);

  private final double percent;
  private final double temperatureC;

  /**
   * Makes one.
   *
   * @param percent charge, 0 to 100; NaN: not known
   * @param temperatureC degrees Celsius; NaN: not known
   */
  public BatteryState(double percent, double temperatureC) {
    this.percent = percent;
    this.temperatureC = temperatureC;
  }

  /** Charge, 0 to 100; NaN: not known. */
  public double percent() {
    return percent;
  }

  /** Degrees Celsius; NaN: not known. */
  public double temperatureC() {
    return temperatureC;
  }
}
