package org.pocketfleet.transport;

/** The run that a message belongs to has ended. */
public final class RunOverException extends RefusedException {
  private static final long serialVersionUID = 1;

  /** Makes an error; see {@link RefusedException}. */
  public RunOverException(String message, int status, int code) {
    super(message, status, code);
  }
}
