package org.pocketfleet.energy;

import java.util.function.BooleanSupplier;

/** The battery where it has a figure; otherwise another meter, and in words why not the battery. */
public final class BatteryOr implements EnergyMeter {
  private final BatteryMeter battery;
  private final EnergyMeter other;

  /** Makes one. */
  public BatteryOr(BatteryMeter battery, EnergyMeter other) {
    this.battery = battery;
    this.other = other;
  }

  @Override
  public void start() {
    battery.start();
    other.start();
  }

  @Override
  public Energy stop() {
    Energy best = battery.stop();
    Energy second = other.stop();
    if (best != null || second == null) {
      return best;
    }
    return second.flagged("not the battery: " + battery.problem());
  }

  @Override
  public void measureIdle(double seconds, BooleanSupplier enough) {
    battery.measureIdle(seconds, enough);
    other.measureIdle(seconds, enough);
  }
}
