package org.pocketfleet.energy;

import java.util.ArrayList;
import java.util.Collections;
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

  /** No phone draws more; a reading beyond it is an overflow or another unit. */
  private static final double MOST_AMPERES = 20;

  /** No phone's current changes by this factor from moment to moment; µA and mA do. */
  private static final double UNIT_FACTOR = 300;

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
  private final double usualSize;
  private final int dischargeSign;
  private final Basis basis;
  private final String words;

  private CurrentCalibration(
      double amperesPerUnit, double usualSize, int sign, Basis basis, String words) {
    this.amperesPerUnit = amperesPerUnit;
    this.usualSize = usualSize;
    this.dischargeSign = sign;
    this.basis = basis;
    this.words = words;
  }

  /** Learns from samples; those taken while charging say nothing about the discharge. */
  public static CurrentCalibration of(List<BatterySample> samples) {
    List<Double> sizes = new ArrayList<>();
    int negative = 0;
    CounterComparison comparison = new CounterComparison();
    for (BatterySample sample : samples) {
      comparison.add(sample);
      if (sample.usable() && !sample.charging()) {
        sizes.add(Math.abs((double) sample.current()));
        negative += sample.current() < 0 ? 1 : 0;
      }
    }
    if (sizes.isEmpty()) {
      return new CurrentCalibration(0, 0, 0, Basis.NONE, "no usable reading while discharging");
    }
    int sign = negative * 2 >= sizes.size() ? -1 : 1;
    Collections.sort(sizes);
    double usual = sizes.get(sizes.size() / 2);
    boolean micro = usual > LARGEST_MA;
    double ratio = comparison.ratio();
    if (Double.isNaN(ratio)) {
      return known(micro, usual, sign, Basis.ASSUMED, "assumed from the size of the readings");
    }
    if (near(ratio, 1)) {
      return known(true, usual, sign, Basis.CONFIRMED, "confirmed by the charge counter");
    }
    if (near(ratio, 1e-3)) {
      return known(false, usual, sign, Basis.CONFIRMED, "confirmed by the charge counter");
    }
    return new CurrentCalibration(
        0,
        usual,
        sign,
        Basis.CONTRADICTED,
        String.format(
            Locale.ROOT,
            "the current readings are %.3g times what the charge counter shows",
            ratio));
  }

  private static CurrentCalibration known(
      boolean micro, double usual, int sign, Basis basis, String why) {
    String unit = micro ? "µA" : "mA";
    return new CurrentCalibration(micro ? 1e-6 : 1e-3, usual, sign, basis, unit + " " + why);
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

  /** Whether a reading is so much larger or smaller than usual that its unit must be another. */
  boolean otherUnit(BatterySample sample) {
    double size = Math.abs((double) sample.current());
    return sample.usable()
        && !sample.charging()
        && (size > usualSize * UNIT_FACTOR || size * UNIT_FACTOR < usualSize);
  }

  /**
   * Watts that the battery gave at a sample.
   *
   * @return NaN if the sample says nothing about it: the battery was being charged, the current
   *     flowed the other way, or is more than any phone draws
   */
  public double watts(BatterySample sample) {
    boolean discharging = !sample.charging() && Long.signum(sample.current()) == dischargeSign;
    if (amperesPerUnit == 0 || !sample.usable() || !discharging) {
      return Double.NaN;
    }
    double amperes = Math.abs((double) sample.current()) * amperesPerUnit;
    return amperes > MOST_AMPERES ? Double.NaN : amperes * sample.voltageMv() * 1e-3;
  }
}
