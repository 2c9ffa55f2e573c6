package org.pocketfleet.transport;

/** The server does not know this client's key. */
public final class NotEnrolledException extends RefusedException {
  private static final long serialVersionUID = 1;

  /** Makes an error; see {@link RefusedException}. */
  public NotEnrolledException(String message, int status, int code) {
    super(message, status, code);
  }
}
