package org.pocketfleet.energy;

/** A battery's gauge. */
public interface BatterySensor {
  /** Reads it now. It may take milliseconds and must not throw. */
  BatterySample read();
}
