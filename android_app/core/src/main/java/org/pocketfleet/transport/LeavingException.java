package org.pocketfleet.transport;

import org.pocketfleet.PocketfleetException;

/** What was being done was cut short because the client was asked to leave. */
public final class LeavingException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes one. */
  public LeavingException() {
    super("the client was asked to leave");
  }
}
