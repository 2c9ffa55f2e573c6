package org.pocketfleet;

/**
 * Base of every error that a client raises on purpose. The message says what was wrong, where, and
 * what to do about it, for a person to read.
 */
public class PocketfleetException extends Exception {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public PocketfleetException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public PocketfleetException(String message, Throwable cause) {
    super(message, cause);
  }
}
