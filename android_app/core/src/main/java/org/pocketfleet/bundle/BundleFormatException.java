package org.pocketfleet.bundle;

/** What was given is not a bundle; the message names the file and the key. */
public class BundleFormatException extends BundleException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public BundleFormatException(String message) {
    super(message);
  }
}
