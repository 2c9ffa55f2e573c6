package org.pocketfleet.client;

import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;

/** Does what the server asks. Knows nothing of the network. */
public interface Handler {
  /**
   * Does a task.
   *
   * @throws Exception the task cannot be done; the server is told the reason, and the client goes
   *     on
   */
  Reply handle(Task task) throws Exception;

  /**
   * Hears what the client does from now on, other than handling a task; see {@link
   * org.pocketfleet.energy.Phases}.
   */
  default void phase(String name) {}
}
