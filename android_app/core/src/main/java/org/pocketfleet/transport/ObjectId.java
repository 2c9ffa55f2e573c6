package org.pocketfleet.transport;

/** The name of an object: the SHA-256 of its bytes in lower-case hexadecimal. */
final class ObjectId {
  static final int LENGTH = 64;
  private static final int SHOWN = 12;

  private ObjectId() {}

  /** Whether a text has the form of an id. */
  static boolean isOne(String text) {
    if (text.length() != LENGTH) {
      return false;
    }
    for (int at = 0; at < LENGTH; at++) {
      char digit = text.charAt(at);
      if ((digit < '0' || digit > '9') && (digit < 'a' || digit > 'f')) {
        return false;
      }
    }
    return true;
  }

  /** As much of an id as a person needs. */
  static String shown(String id) {
    return id.substring(0, Math.min(SHOWN, id.length()));
  }
}
