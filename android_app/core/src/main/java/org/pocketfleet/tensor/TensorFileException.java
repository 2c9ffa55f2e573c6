package org.pocketfleet.tensor;

import org.pocketfleet.PocketfleetException;

/** Bytes that are not the file of tensors that they should be; the message says in which way. */
public final class TensorFileException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public TensorFileException(String message) {
    super(message);
  }

  /** Makes an error with its cause. */
  public TensorFileException(String message, Throwable cause) {
    super(message, cause);
  }
}
