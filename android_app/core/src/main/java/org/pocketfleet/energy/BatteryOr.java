package org.pocketfleet.energy;

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
    return new Energy(
        second.grossJ(),
        second.idleJ(),
        second.method(),
        second.source() + "; not the battery: " + battery.problem());
  }
}
