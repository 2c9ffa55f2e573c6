package org.pocketfleet.transport;

import com.google.protobuf.InvalidProtocolBufferException;
import java.nio.ByteBuffer;
import org.pocketfleet.fleet.Message;
import org.pocketfleet.fleet.ObjectTree;
import org.pocketfleet.fleet.PushMessagesRequest;
import org.pocketfleet.fleet.RecordDict;

/** The request that announces a reply: its metadata, and the tree of its objects. */
final class Announcement {
  private Announcement() {}

  /** Makes the request for a reply, without the node that it comes from. */
  static byte[] of(StoredObject root) {
    return PushMessagesRequest.newBuilder()
        .addMessagesList(message(root))
        .addMessageObjectTrees(tree(root))
        .addClientappRuntimeList(0)
        .build()
        .toByteArray();
  }

  /** The message's metadata, and its error or an empty content: content travels as objects. */
  private static Message message(StoredObject root) {
    Message.Builder message;
    try {
      ByteBuffer body = root.parts().get(1);
      message = Message.parseFrom(body).toBuilder();
    } catch (InvalidProtocolBufferException error) {
      throw new IllegalArgumentException("not the root of a reply", error);
    }
    message.setMetadata(message.getMetadata().toBuilder().setMessageId(root.id()));
    if (!message.hasError()) {
      message.setContent(RecordDict.getDefaultInstance());
    }
    return message.build();
  }

  private static ObjectTree tree(StoredObject item) {
    ObjectTree.Builder tree = ObjectTree.newBuilder().setObjectId(item.id());
    for (StoredObject child : item.children()) {
      tree.addChildren(tree(child));
    }
    return tree.build();
  }
}
