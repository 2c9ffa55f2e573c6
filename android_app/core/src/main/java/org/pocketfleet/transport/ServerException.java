package org.pocketfleet.transport;

import org.pocketfleet.PocketfleetException;

/** The server could not do what was asked. */
public class ServerException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public ServerException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public ServerException(String message, Throwable cause) {
    super(message, cause);
  }
}
