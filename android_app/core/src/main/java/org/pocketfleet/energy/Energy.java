package org.pocketfleet.energy;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Joules over an interval, and how far to trust them. A figure without a source does not exist. */
public final class Energy {
  private final double grossJ;
  private final double idleJ;
  private final String method;
  private final String source;
  private final String covers;
  private final double rateHz;
  private final double coverage;
  private final List<String> flags;

  /**
   * Makes a figure that needs no readings in between, and of which nothing is wrong.
   *
   * @param grossJ joules of what the source covers, over the interval
   * @param idleJ joules that the device would have used anyway; NaN: not known
   * @param method {@code measured}, {@code rail}, {@code battery} or {@code modelled}
   * @param source which counter, or the model and its numbers, and how far to trust them, in words
   * @param covers {@code device}, {@code board}, {@code module}, {@code processor} or {@code parts}
   */
  public Energy(double grossJ, double idleJ, String method, String source, String covers) {
    this(grossJ, idleJ, method, source, covers, Double.NaN, 1, Collections.emptyList());
  }

  private Energy(
      double grossJ,
      double idleJ,
      String method,
      String source,
      String covers,
      double rateHz,
      double coverage,
      List<String> flags) {
    this.grossJ = grossJ;
    this.idleJ = idleJ;
    this.method = method;
    this.source = source;
    this.covers = covers;
    this.rateHz = rateHz;
    this.coverage = coverage;
    this.flags = flags;
  }

  /**
   * The same figure, from readings.
   *
   * @param readingsPerSecond how often there was one
   * @param share share of the interval's seconds that the joules stand for, 0 to 1
   */
  public Energy sampled(double readingsPerSecond, double share) {
    return new Energy(
        grossJ, idleJ, method, source, covers, readingsPerSecond, Math.min(share, 1), flags);
  }

  /** The same figure, of which more was wrong, in words. */
  public Energy flagged(String... more) {
    Set<String> all = new LinkedHashSet<>(flags);
    all.addAll(Arrays.asList(more));
    return new Energy(
        grossJ,
        idleJ,
        method,
        source,
        covers,
        rateHz,
        coverage,
        Collections.unmodifiableList(new ArrayList<>(all)));
  }

  /**
   * Both together, where they are of the same method.
   *
   * @param seconds length of this interval
   * @param other figure of another interval
   * @param otherSeconds length of that one
   */
  Energy plus(double seconds, Energy other, double otherSeconds) {
    double share = seconds + otherSeconds > 0 ? seconds / (seconds + otherSeconds) : 0.5;
    return new Energy(
            grossJ + other.grossJ,
            idleJ + other.idleJ,
            other.method,
            other.source,
            other.covers,
            share * rateHz + (1 - share) * other.rateHz,
            share * coverage + (1 - share) * other.coverage,
            flags)
        .flagged(other.flags.toArray(new String[0]));
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

  /** What of the device is in it, in one word. */
  public String covers() {
    return covers;
  }

  /** Readings a second; NaN: it needs none. */
  public double rateHz() {
    return rateHz;
  }

  /** Share of the interval's seconds that the joules stand for, 0 to 1. */
  public double coverage() {
    return coverage;
  }

  /** What was wrong, in words. */
  public List<String> flags() {
    return flags;
  }
}
