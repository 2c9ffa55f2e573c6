package org.pocketfleet.training;

/** Training went astray: the loss or a weight is not a finite number any more. */
public final class DivergedException extends TrainingException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public DivergedException(String message) {
    super(message);
  }
}
