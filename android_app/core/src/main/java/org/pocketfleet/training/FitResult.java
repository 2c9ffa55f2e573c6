package org.pocketfleet.training;

/** What local training did. */
public final class FitResult {
  private final double loss;
  private final long examplesProcessed;
  private final int steps;
  private final int plannedSteps;
  private final double trainSeconds;
  private final double featuresSeconds;

  FitResult(
      double loss,
      long examplesProcessed,
      int steps,
      int plannedSteps,
      double trainSeconds,
      double featuresSeconds) {
    this.loss = loss;
    this.examplesProcessed = examplesProcessed;
    this.steps = steps;
    this.plannedSteps = plannedSteps;
    this.trainSeconds = trainSeconds;
    this.featuresSeconds = featuresSeconds;
  }

  /** Mean loss over the examples processed; 0 without any. */
  public double loss() {
    return loss;
  }

  /** Examples that went through a step. */
  public long examplesProcessed() {
    return examplesProcessed;
  }

  /** Steps done. */
  public int steps() {
    return steps;
  }

  /** Steps planned. */
  public int plannedSteps() {
    return plannedSteps;
  }

  /** Seconds in all. */
  public double trainSeconds() {
    return trainSeconds;
  }

  /** The part of them spent on the features of the frozen base. */
  public double featuresSeconds() {
    return featuresSeconds;
  }

  /** Whether the cutoff struck. */
  public boolean cutOff() {
    return steps < plannedSteps;
  }
}
