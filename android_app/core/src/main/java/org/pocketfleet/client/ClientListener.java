package org.pocketfleet.client;

import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;

/**
 * Hears what a client does, on the client's own thread: for a screen, a notification, a log. It
 * must not throw and should not linger.
 */
public interface ClientListener {
  /** The server expects this client from now on. */
  void connected();

  /** There is nothing to do; the client asks again after {@code waitSeconds}. */
  void waiting(double waitSeconds);

  /** A task has arrived and is being worked on; it comes without its arrays. */
  void working(Task task);

  /**
   * The task's answer is safe on the disk, and will be sent; both come without their arrays.
   *
   * @param reply the answer, or null if the task failed or was declined
   * @param problem why there is no answer, in words for people; null if there is one
   */
  void finished(Task task, Reply reply, String problem);

  /** The server has the whole of the answer to the last task. */
  void sent();

  /** Something went wrong that the client deals with itself; in words for people. */
  void trouble(String words);
}
