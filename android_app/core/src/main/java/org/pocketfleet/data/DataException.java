package org.pocketfleet.data;

import org.pocketfleet.PocketfleetException;

/** A client's data cannot be used; the message names the file. */
public final class DataException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public DataException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public DataException(String message, Throwable cause) {
    super(message, cause);
  }
}
