package org.pocketfleet.energy;

import java.util.function.BooleanSupplier;

/** Measures one interval at a time. */
public interface EnergyMeter {
  /** Begins an interval. */
  void start();

  /** Ends the interval and tells its joules; null: there is no source, or it failed meanwhile. */
  Energy stop();

  /**
   * Measures what the device uses when nothing is done, for the idle share of later intervals.
   * Returns at once where that is known beforehand, or cannot be measured now.
   *
   * @param seconds how long
   * @param enough asked in between; true ends it early
   */
  default void measureIdle(double seconds, BooleanSupplier enough) {}
}
