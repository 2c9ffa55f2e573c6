package org.pocketfleet.transport;

import org.pocketfleet.PocketfleetException;
import org.pocketfleet.message.Reply;

/**
 * What the client's loop asks of a line to a server, whatever protocol is behind it.
 *
 * <p>Waiting is cut short by {@link LeavingException} when the client has been asked to leave.
 * Every method may throw {@link ServerException} when the server cannot be reached for too long or
 * says no.
 */
public interface Transport {
  /** Makes the server expect this client. */
  void connect() throws PocketfleetException;

  /** The next task, or null if there is none now; first the one that an earlier process left. */
  Envelope pull() throws PocketfleetException;

  /**
   * Makes an answer safe. Nothing of it needs to be kept after that.
   *
   * @param reply the answer, or null if there is none
   * @param problem why there is no answer, in words for the server; null if there is one
   * @return null, or why the server gets an error instead of the answer
   */
  String save(Envelope envelope, Reply reply, String problem) throws PocketfleetException;

  /**
   * Sends the answer that is safe, if there is one.
   *
   * @return whether the server has all of it now
   */
  boolean send() throws PocketfleetException;

  /** Leaves without losing an answer that the server has yet to look at. */
  void close();
}
