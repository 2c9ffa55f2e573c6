package org.pocketfleet.energy;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Several meters over the same interval; the first that has a figure is believed. */
public final class FirstOf implements EnergyMeter {
  private final List<EnergyMeter> meters;

  /** Makes one; the best meter first. */
  public FirstOf(EnergyMeter... meters) {
    this.meters = new ArrayList<>(Arrays.asList(meters));
  }

  @Override
  public void start() {
    for (EnergyMeter meter : meters) {
      meter.start();
    }
  }

  @Override
  public Energy stop() {
    Energy best = null;
    for (EnergyMeter meter : meters) {
      Energy energy = meter.stop();
      best = best == null ? energy : best;
    }
    return best;
  }
}
