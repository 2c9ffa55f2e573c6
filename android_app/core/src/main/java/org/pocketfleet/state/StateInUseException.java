package org.pocketfleet.state;

/** Another client is using the state directory. */
public final class StateInUseException extends StateException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public StateInUseException(String message) {
    super(message);
  }
}
