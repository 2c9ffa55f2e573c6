package org.pocketfleet;

/** A setting, an address or a file that the user gave is wrong. */
public final class SettingsException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public SettingsException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public SettingsException(String message, Throwable cause) {
    super(message, cause);
  }
}
