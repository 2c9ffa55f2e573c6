package org.pocketfleet.training;

/** How well a model does on some samples. */
public final class Evaluation {
  private final double loss;
  private final double accuracy;

  Evaluation(double loss, double accuracy) {
    this.loss = loss;
    this.accuracy = accuracy;
  }

  /** Mean loss. */
  public double loss() {
    return loss;
  }

  /** Share of the samples whose likeliest class is right, 0 to 1. */
  public double accuracy() {
    return accuracy;
  }
}
