package org.pocketfleet.energy;

import java.util.List;
import java.util.Locale;

/**
 * In which unit and with which sign a phone's gauge gives the current. Android's documentation says
 * µA and negative while discharging; phones differ in both.
 *
 * <p>The unit is confirmed where the charge counter moved far enough to compare; otherwise it is
 * assumed from the size, as no phone that trains draws less than 10 mA or more than 10 A.
 */
public final class CurrentCalibration {
  /** A reading of this size is 10 mA in µA and 10 A in mA. */
  private static final double LARGEST_MA = 10_000;

  private static final double TOLERANCE = 1.5;

  /** How the unit is known. */
  public enum Basis {
    /** The charge counter agrees. */
    CONFIRMED,
    /** Only the size of the readings speaks for it. */
    ASSUMED,
    /** The charge counter fits neither unit. */
    CONTRADICTED,
    /** There is nothing to judge by. */
    NONE
  }

  private final double amperesPerUnit;
  private final int dischargeSign;
  private final Basis basis;
  private final String words;

  private CurrentCalibration(double amperesPerUnit, int sign, Basis basis, String words) {
    this.amperesPerUnit = amperesPerUnit;
    this.dischargeSign = sign;
    this.basis = basis;
    this.words = words;
  }

  /** Learns from samples; those taken while charging say nothing about the discharge. */
  public static CurrentCalibration of(List<BatterySample> samples) {
    double size = 0;
    int usable = 0;
    int negative = 0;
    CounterComparison comparison = new CounterComparison();
    for (BatterySample sample : samples) {
      comparison.add(sample);
      if (sample.usable() && !sample.charging()) {
        usable++;
        size += Math.abs((double) sample.current());
        negative += sample.current() < 0 ? 1 : 0;
      }
    }
    if (usable == 0) {
      return new CurrentCalibration(0, 0, Basis.NONE, "no usable reading while discharging");
    }
    int sign = negative * 2 >= usable ? -1 : 1;
    boolean micro = size / usable > LARGEST_MA;
    double ratio = comparison.ratio();
    if (Double.isNaN(ratio)) {
      return known(micro, sign, Basis.ASSUMED, "assumed from the size of the readings");
    }
    if (near(ratio, 1)) {
      return known(true, sign, Basis.CONFIRMED, "confirmed by the charge counter");
    }
    if (near(ratio, 1e-3)) {
      return known(false, sign, Basis.CONFIRMED, "confirmed by the charge counter");
    }
    return new CurrentCalibration(
        0,
        sign,
        Basis.CONTRADICTED,
        String.format(
            Locale.ROOT,
            "the current readings are %.3g times what the charge counter shows",
            ratio));
  }

  private static CurrentCalibration known(boolean micro, int sign, Basis basis, String why) {
    String unit = micro ? "µA" : "mA";
    return new CurrentCalibration(micro ? 1e-6 : 1e-3, sign, basis, unit + " " + why);
  }

  private static boolean near(double ratio, double expected) {
    return ratio > expected / TOLERANCE && ratio < expected * TOLERANCE;
  }

  /** How the unit is known. */
  public Basis basis() {
    return basis;
  }

  /** Unit and how it is known, or what is wrong, in words. */
  public String words() {
    return words;
  }

  /**
   * Watts that the battery gave at a sample.
   *
   * @return NaN if the sample says nothing about it: the battery was being charged, or the current
   *     flowed the other way
   */
  public double watts(BatterySample sample) {
    boolean discharging = !sample.charging() && Long.signum(sample.current()) == dischargeSign;
    if (amperesPerUnit == 0 || !sample.usable() || !discharging) {
      return Double.NaN;
    }
    return Math.abs((double) sample.current()) * amperesPerUnit * sample.voltageMv() * 1e-3;
  }
}
