package org.pocketfleet.training;

import org.pocketfleet.PocketfleetException;

/** Training, or what was asked of it, makes no sense or failed; the message says what to do. */
public class TrainingException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public TrainingException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public TrainingException(String message, Throwable cause) {
    super(message, cause);
  }
}
