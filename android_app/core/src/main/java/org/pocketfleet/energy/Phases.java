package org.pocketfleet.energy;

import java.util.HashMap;
import java.util.Map;
import org.pocketfleet.Stopwatch;

/**
 * Which phase of a round a device is in, and the joules of each. Phases follow each other without a
 * gap, so that every joule is in one of them. For one thread at a time.
 */
public final class Phases {
  public static final String DOWNLOAD = "download";
  public static final String TRAIN = "train";
  public static final String EVALUATE = "evaluate";
  public static final String UPLOAD = "upload";
  public static final String WAIT = "wait";

  /** What is in between: nothing that counts. */
  public static final String NONE = "";

  private final EnergyMeter meter;
  private final Stopwatch clock;
  private final Map<String, Part> parts = new HashMap<>();
  private String phase = NONE;
  private double since;

  /** Joules of a phase so far, and its seconds; without joules where any part of it had none. */
  private static final class Part {
    final double seconds;
    final Energy energy;

    Part(double seconds, Energy energy) {
      this.seconds = seconds;
      this.energy = energy;
    }

    Part plus(Part other) {
      boolean alike =
          energy != null
              && other.energy != null
              && energy.method().equals(other.energy.method())
              && energy.covers().equals(other.energy.covers());
      return new Part(
          seconds + other.seconds,
          alike ? energy.plus(seconds, other.energy, other.seconds) : null);
    }
  }

  /**
   * Makes one.
   *
   * @param meter where joules come from; null: nowhere
   */
  public Phases(EnergyMeter meter) {
    this(meter, Stopwatch.WALL);
  }

  Phases(EnergyMeter meter, Stopwatch clock) {
    this.meter = meter;
    this.clock = clock;
  }

  /**
   * Ends the phase that lasts, if any, and begins another. Waiting adds up until it is taken; any
   * other phase begins anew, so that what nobody took is forgotten.
   */
  public void enter(String next) {
    if (meter == null || next.equals(phase)) {
      return;
    }
    double now = clock.seconds();
    if (!phase.equals(NONE)) {
      parts.merge(phase, new Part(now - since, meter.stop()), Part::plus);
    }
    if (!next.equals(WAIT)) {
      parts.remove(next);
    }
    phase = next;
    since = now;
    if (!next.equals(NONE)) {
      meter.start();
    }
  }

  /**
   * What a phase has used since it was last taken.
   *
   * @return null if it was not entered, or its joules are not known
   */
  public Energy take(String name) {
    Part part = parts.remove(name);
    return part == null ? null : part.energy;
  }

  /** Whether there is a meter at all. */
  public boolean metered() {
    return meter != null;
  }
}
