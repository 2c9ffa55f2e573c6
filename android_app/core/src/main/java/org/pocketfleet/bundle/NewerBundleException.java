package org.pocketfleet.bundle;

/** A bundle of a format that came after this version: the program has to be updated. */
public final class NewerBundleException extends BundleFormatException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public NewerBundleException(String message) {
    super(message);
  }
}
