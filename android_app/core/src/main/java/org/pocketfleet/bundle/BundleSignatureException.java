package org.pocketfleet.bundle;

/**
 * A bundle is not signed, its signature does not fit, or another key than the trusted one made it.
 */
public final class BundleSignatureException extends BundleAlteredException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public BundleSignatureException(String message) {
    super(message);
  }
}
