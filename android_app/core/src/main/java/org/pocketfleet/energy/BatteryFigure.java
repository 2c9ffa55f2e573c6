package org.pocketfleet.energy;

import java.util.List;
import java.util.Locale;

/** What a battery's readings over an interval amount to: joules with their quality, or why none. */
final class BatteryFigure {
  private static final double LONGEST_GAP_S = 5;
  private static final double LEAST_COVERAGE = 0.9;
  private static final int LEAST_SAMPLES = 3;
  private static final int STUCK_SAMPLES = 10;

  private final Energy energy;
  private final String problem;

  private BatteryFigure(Energy energy, String problem) {
    this.energy = energy;
    this.problem = problem;
  }

  /** Joules, or null. */
  Energy energy() {
    return energy;
  }

  /** Why there are none; null if there are. */
  String problem() {
    return problem;
  }

  /**
   * Judges readings.
   *
   * @param samples in the order of time; the first at the start of the interval, the last at its
   *     end
   * @param calibration unit and sign
   */
  static BatteryFigure of(List<BatterySample> samples, CurrentCalibration calibration) {
    int usable = 0;
    int changes = 0;
    long current = 0;
    boolean charging = false;
    EnergyIntegrator integrator = new EnergyIntegrator(LONGEST_GAP_S);
    for (BatterySample sample : samples) {
      charging |= sample.charging();
      if (sample.usable()) {
        changes += usable > 0 && sample.current() != current ? 1 : 0;
        usable++;
        current = sample.current();
      }
      integrator.add(sample.timeNs() / 1e9, calibration.watts(sample));
    }
    if (usable < LEAST_SAMPLES && !charging) {
      return none("the battery's gauge gives no current");
    }
    long intervalNs = samples.get(samples.size() - 1).timeNs() - samples.get(0).timeNs();
    double coverage = integrator.coveredS() / Math.max(intervalNs / 1e9, 1e-9);
    if (charging && coverage < LEAST_COVERAGE) {
      return none("the device was charging, so the battery does not show what it used");
    }
    if (calibration.basis() == CurrentCalibration.Basis.CONTRADICTED) {
      return none(calibration.words());
    }
    if (changes == 0 && usable >= STUCK_SAMPLES) {
      return none("the battery's gauge is stuck at " + current);
    }
    if (coverage < LEAST_COVERAGE) {
      return none(text("the battery's readings cover only %.0f %% of the time", coverage * 100));
    }
    String source =
        text(
            "battery current × voltage, whole device, %.1f Hz, coverage %.0f %%, %s, quality %s",
            usable / (intervalNs / 1e9),
            coverage * 100,
            calibration.words(),
            quality(calibration, changes, usable));
    return new BatteryFigure(new Energy(integrator.joules(), Double.NaN, "battery", source), null);
  }

  /** Good: unit confirmed and a lively gauge; poor: most readings repeat the one before. */
  private static String quality(CurrentCalibration calibration, int changes, int usable) {
    if (changes * 5 < usable) {
      return "poor (the gauge is slow)";
    }
    return calibration.basis() == CurrentCalibration.Basis.CONFIRMED
        ? "good"
        : "fair (the unit is assumed)";
  }

  private static BatteryFigure none(String problem) {
    return new BatteryFigure(null, problem);
  }

  private static String text(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
