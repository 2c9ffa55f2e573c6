package org.pocketfleet.transport;

/** The server answered with an error. */
public class RefusedException extends ServerException {
  private static final long serialVersionUID = 1;

  private final int status;
  private final int code;

  /**
   * Makes an error.
   *
   * @param status HTTP status of the answer
   * @param code Flower's own number of the error; 0: the answer had none
   */
  public RefusedException(String message, int status, int code) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** HTTP status of the answer. */
  public final int status() {
    return status;
  }

  /** Flower's own number of the error; 0: the answer had none. */
  public final int code() {
    return code;
  }
}
