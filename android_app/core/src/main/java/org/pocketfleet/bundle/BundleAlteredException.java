package org.pocketfleet.bundle;

/** A file of a bundle is missing, truncated or changed. */
public class BundleAlteredException extends BundleException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public BundleAlteredException(String message) {
    super(message);
  }
}
