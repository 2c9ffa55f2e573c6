package org.pocketfleet.energy;

/** Measures one interval at a time. */
public interface EnergyMeter {
  /** Begins an interval. */
  void start();

  /** Ends the interval and tells its joules; null: there is no source, or it failed meanwhile. */
  Energy stop();
}
