package org.pocketfleet.transport;

import org.pocketfleet.PocketfleetException;

/** What arrived is not a message that can be trusted. */
public final class MessageException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public MessageException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public MessageException(String message, Throwable cause) {
    super(message, cause);
  }
}
