package org.pocketfleet.energy;

import java.util.List;
import java.util.Locale;

/** What a battery's readings over an interval amount to: joules with their quality, or why none. */
final class BatteryFigure {
  private static final double LONGEST_GAP_S = 5;
  private static final double LEAST_COVERAGE = 0.9;
  private static final double FULL_COVERAGE = 0.99;
  private static final int LEAST_SAMPLES = 3;
  private static final int STUCK_SAMPLES = 10;

  /** A gauge is lively when one of so many readings differs from the one before. */
  private static final int LIVELY = 5;

  /** One such reading may be a slip of the gauge; the range takes care of it. */
  private static final int OTHER_UNITS = 2;

  private final Energy energy;
  private final String problem;
  private final boolean unitChanged;

  private BatteryFigure(Energy energy, String problem, boolean unitChanged) {
    this.energy = energy;
    this.problem = problem;
    this.unitChanged = unitChanged;
  }

  /** Joules, or null. */
  Energy energy() {
    return energy;
  }

  /** Why there are none; null if there are. */
  String problem() {
    return problem;
  }

  /** Whether what was learned of the gauge's unit does not hold any more. */
  boolean unitChanged() {
    return unitChanged;
  }

  /**
   * Judges readings.
   *
   * @param samples in the order of time; the first at the start of the interval, the last at its
   *     end
   * @param calibration unit and sign
   * @param idleW power of the idle device; NaN: not known
   */
  static BatteryFigure of(
      List<BatterySample> samples, CurrentCalibration calibration, double idleW) {
    int usable = 0;
    int changes = 0;
    int otherUnits = 0;
    long current = 0;
    boolean charging = false;
    EnergyIntegrator integrator = new EnergyIntegrator(LONGEST_GAP_S);
    for (BatterySample sample : samples) {
      charging |= sample.charging();
      if (sample.usable()) {
        changes += usable > 0 && sample.current() != current ? 1 : 0;
        usable++;
        current = sample.current();
        otherUnits += calibration.otherUnit(sample) ? 1 : 0;
      }
      integrator.add(sample.timeNs() / 1e9, calibration.watts(sample));
    }
    if (samples.size() < LEAST_SAMPLES && !charging) {
      return none("the interval is too short for the battery's gauge");
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
    if (otherUnits >= OTHER_UNITS) {
      return new BatteryFigure(null, "the battery's gauge changed its unit", true);
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
    Energy energy =
        new Energy(integrator.joules(), idleW * integrator.coveredS(), "battery", source, "device")
            .sampled(usable / (intervalNs / 1e9), coverage);
    if (charging) {
      energy = energy.flagged("power came from outside for a while");
    }
    if (coverage < FULL_COVERAGE) {
      energy = energy.flagged(text("readings cover %.0f %% of the interval", coverage * 100));
    }
    if (changes * LIVELY < usable) {
      energy = energy.flagged("the gauge is slow: most readings repeat the one before");
    }
    return new BatteryFigure(energy, null, false);
  }

  /** Good: unit confirmed and a lively gauge; poor: most readings repeat the one before. */
  private static String quality(CurrentCalibration calibration, int changes, int usable) {
    if (changes * LIVELY < usable) {
      return "poor (the gauge is slow)";
    }
    return calibration.basis() == CurrentCalibration.Basis.CONFIRMED
        ? "good"
        : "fair (the unit is assumed)";
  }

  private static BatteryFigure none(String problem) {
    return new BatteryFigure(null, problem, false);
  }

  private static String text(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }
}
