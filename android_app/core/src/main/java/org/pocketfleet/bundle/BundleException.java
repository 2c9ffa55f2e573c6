package org.pocketfleet.bundle;

import org.pocketfleet.PocketfleetException;

/**
 * A bundle cannot be used.
 *
 * <pre>
 * BundleException
 * ├── BundleFormatException        it is not a bundle
 * │   └── NewerBundleException     it is one of a format that came after this version
 * └── BundleAlteredException       a file is missing, truncated or changed
 *     └── BundleSignatureException it is not signed, or not by the trusted key
 * </pre>
 */
public class BundleException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public BundleException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public BundleException(String message, Throwable cause) {
    super(message, cause);
  }
}
