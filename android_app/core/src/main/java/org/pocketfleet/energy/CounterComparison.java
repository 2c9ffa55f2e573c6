package org.pocketfleet.energy;

/**
 * Compares a gauge's current with what its charge counter lost meanwhile. Counting begins and ends
 * where the counter steps, as it tells nothing in between.
 */
final class CounterComparison {
  private static final int LEAST_STEPS = 4;
  private static final double LONGEST_GAP_S = 5;
  private static final double SECONDS_PER_HOUR = 3600;

  private double readingS;
  private double counterMicroampereS;
  private int steps;

  private BatterySample previous;
  private long lastCounter;
  private boolean atStep;
  private double sinceStepS;

  /** Adds a reading, in the order of time. */
  void add(BatterySample sample) {
    if (sample.charging() || !sample.hasCounter() || gap(sample)) {
      previous = null;
    }
    if (sample.charging() || !sample.hasCounter() || !sample.usable()) {
      return;
    }
    if (previous == null) {
      lastCounter = sample.chargeCounter();
      atStep = false;
    } else {
      double seconds = (sample.timeNs() - previous.timeNs()) / 1e9;
      sinceStepS +=
          seconds
              * (Math.abs((double) sample.current()) + Math.abs((double) previous.current()))
              / 2;
      if (sample.chargeCounter() != lastCounter) {
        step(sample.chargeCounter());
      }
    }
    previous = sample;
  }

  private boolean gap(BatterySample sample) {
    return previous != null && (sample.timeNs() - previous.timeNs()) / 1e9 > LONGEST_GAP_S;
  }

  private void step(long counter) {
    if (atStep) {
      readingS += sinceStepS;
      counterMicroampereS += (lastCounter - counter) * SECONDS_PER_HOUR;
      steps++;
    }
    atStep = true;
    sinceStepS = 0;
    lastCounter = counter;
  }

  /** The mean reading over the current in µA that the counter shows; NaN: it moved too little. */
  double ratio() {
    return steps < LEAST_STEPS || counterMicroampereS <= 0
        ? Double.NaN
        : readingS / counterMicroampereS;
  }
}
