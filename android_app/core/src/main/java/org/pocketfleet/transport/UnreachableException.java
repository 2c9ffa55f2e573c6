package org.pocketfleet.transport;

/** The server did not answer for as long as the client was willing to wait. */
public final class UnreachableException extends ServerException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public UnreachableException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public UnreachableException(String message, Throwable cause) {
    super(message, cause);
  }
}
