package org.pocketfleet.energy;

/**
 * Joules from watts at moments: the trapezoid rule over the times at which they were really read. A
 * gap between readings, or a reading that says nothing, is left out and counts against the
 * coverage.
 */
public final class EnergyIntegrator {
  private final double longestGapS;
  private double joules;
  private double coveredS;
  private double lastS = Double.NaN;
  private double lastW = Double.NaN;

  /**
   * Makes one.
   *
   * @param longestGapS between readings further apart nothing is assumed
   */
  public EnergyIntegrator(double longestGapS) {
    this.longestGapS = longestGapS;
  }

  /**
   * Adds a reading.
   *
   * @param seconds when; readings that do not come later than the one before are passed over
   * @param watts how much; NaN: not known at this moment
   */
  public void add(double seconds, double watts) {
    double stepS = seconds - lastS;
    if (stepS <= 0) {
      return;
    }
    if (stepS <= longestGapS && !Double.isNaN(watts) && !Double.isNaN(lastW)) {
      joules += stepS * (watts + lastW) / 2;
      coveredS += stepS;
    }
    lastS = seconds;
    lastW = watts;
  }

  /** Joules over the time covered. */
  public double joules() {
    return joules;
  }

  /** Seconds that the joules stand for. */
  public double coveredS() {
    return coveredS;
  }
}
