package org.pocketfleet.training;

import org.pocketfleet.PocketfleetException;

/** Weights that do not fit the model; nothing was changed. */
public final class WeightsException extends PocketfleetException {
  private static final long serialVersionUID = 1;

  /** Makes an error. */
  public WeightsException(String message) {
    super(message);
  }
}
