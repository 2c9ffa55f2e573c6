package org.pocketfleet.client;

import org.pocketfleet.PocketfleetException;

/** A task starts from weights that this client does not have, or not any more. */
public final class NoLocalWeightsException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public NoLocalWeightsException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public NoLocalWeightsException(String message, Throwable cause) {
    super(message, cause);
  }
}
