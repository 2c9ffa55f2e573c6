package org.pocketfleet.state;

import org.pocketfleet.PocketfleetException;

/** The state directory cannot be read or written. */
public class StateException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public StateException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public StateException(String message, Throwable cause) {
    super(message, cause);
  }
}
