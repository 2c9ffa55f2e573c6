package org.pocketfleet.enrolment;

import org.pocketfleet.PocketfleetException;

/** An invitation that cannot be accepted; nothing was changed. */
public final class InvitationException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public InvitationException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public InvitationException(String message, Throwable cause) {
    super(message, cause);
  }
}
