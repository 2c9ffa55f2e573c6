package org.pocketfleet.energy;

/** Joules over an interval. A figure without a source does not exist. */
public final class Energy {
  private final double grossJ;
  private final double idleJ;
  private final String method;
  private final String source;

  /**
   * Makes a figure.
   *
   * @param grossJ joules of what the source covers, over the interval
   * @param idleJ joules that the device would have used anyway; NaN: not known
   * @param method {@code measured}, {@code rail}, {@code battery} or {@code modelled}
   * @param source which counter, or the model and its numbers, and how far to trust them, in words
   */
  public Energy(double grossJ, double idleJ, String method, String source) {
    this.grossJ = grossJ;
    this.idleJ = idleJ;
    this.method = method;
    this.source = source;
  }

  /** Joules of what the source covers. */
  public double grossJ() {
    return grossJ;
  }

  /** Joules that the device would have used anyway; NaN: not known. */
  public double idleJ() {
    return idleJ;
  }

  /** How it was obtained, in one word. */
  public String method() {
    return method;
  }

  /** How it was obtained, in words. */
  public String source() {
    return source;
  }
}
