package org.pocketfleet.client;

import org.pocketfleet.PocketfleetException;

/** A task that makes no sense to this client. */
public final class TaskException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public TaskException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public TaskException(String message, Throwable cause) {
    super(message, cause);
  }
}
